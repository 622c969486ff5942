// Makes gRPC calls as it is told: one JSON object a line in, what became of each call a line out.
//
// In: {"id", "path", "kind", ...} starts a call, {"cancel": id} ends one, {"send": id, "message"} and {"half_close": id}
// go on with one. Out: {"id", "event": "message", ...} for each answer of a stream if "tell" is true, and at last
// {"id", "event": "end", code, details, initial, trailing, messages, ends}. Ends when its input does and no call is left.
//
// Arguments: target, CA file or "-" for clear text, .proto file and its include folder or nothing.
'use strict';

const fs = require('fs');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const [target, ca, proto, include] = process.argv.slice(2);
const credentials = ca === '-' ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(fs.readFileSync(ca));
const client = new grpc.Client(target, credentials, {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
});
const methods = proto ? load(proto, include) : {};
const calls = new Map();

function load(file, folder) {
  const options = { includeDirs: [folder], keepCase: true, longs: Number, bytes: String, defaults: false };
  const definition = protoLoader.loadSync(file, options);
  const found = {};
  for (const service of Object.values(definition)) {
    for (const method of Object.values(service)) {
      if (method.path) found[method.path] = method;
    }
  }
  return found;
}

// Bytes travel as base64 both ways, or as their size if they are many.
function codec(path) {
  const method = methods[path];
  if (method) {
    return [method.requestSerialize, method.responseDeserialize, (message) => message, (message) => message];
  }
  const read = (message) => (typeof message === 'number' ? Buffer.alloc(message, 'x') : Buffer.from(message, 'base64'));
  const show = (message) => (message.length > 10000 ? message.length : message.toString('base64'));
  return [(bytes) => bytes, (bytes) => bytes, read, show];
}

function metadataOf(pairs) {
  const metadata = new grpc.Metadata();
  for (const [key, value] of pairs || []) metadata.add(key, key.endsWith('-bin') ? Buffer.from(value, 'base64') : value);
  return metadata;
}

function shown(metadata) {
  const pairs = [];
  for (const [key, values] of Object.entries(metadata ? metadata.toJSON() : {})) {
    for (const value of values) pairs.push([key, Buffer.isBuffer(value) ? value.toString('base64') : value]);
  }
  return pairs;
}

function say(fact) {
  process.stdout.write(JSON.stringify(fact) + '\n');
}

function start(told) {
  const [serialize, deserialize, read, show] = codec(told.path);
  const options = told.timeout_ms === undefined ? {} : { deadline: Date.now() + told.timeout_ms };
  const metadata = metadataOf(told.metadata);
  const state = { initial: [], messages: [], ends: 0 };
  const requests = (told.requests || []).map(read);
  const isUnary = told.kind === 'unary' || told.kind === 'client';
  const onAnswer = (error, message) => {
    if (message) state.messages.push(show(message));
  };
  let call;
  if (told.kind === 'unary') {
    call = client.makeUnaryRequest(told.path, serialize, deserialize, requests[0], metadata, options, onAnswer);
  } else if (told.kind === 'client') {
    call = client.makeClientStreamRequest(told.path, serialize, deserialize, metadata, options, onAnswer);
  } else if (told.kind === 'server') {
    call = client.makeServerStreamRequest(told.path, serialize, deserialize, requests[0], metadata, options);
  } else {
    call = client.makeBidiStreamRequest(told.path, serialize, deserialize, metadata, options);
  }
  state.call = call;
  state.read = read;
  calls.set(told.id, state);
  call.on('metadata', (initial) => {
    state.initial = shown(initial);
  });
  call.on('error', () => {}); // "status" says the same, and comes always
  call.on('status', (status) => {
    state.ends += 1;
    // Whatever else comes of a call, comes before the next turn of its loop.
    setImmediate(() => {
      calls.delete(told.id);
      say({
        id: told.id,
        event: 'end',
        code: grpc.status[status.code],
        details: status.details,
        initial: state.initial,
        trailing: shown(status.metadata),
        messages: state.messages,
        ends: state.ends,
      });
      leaveWhenDone();
    });
  });
  if (!isUnary) {
    call.on('data', (message) => {
      state.messages.push(show(message));
      if (told.tell) say({ id: told.id, event: 'message', message: show(message) });
    });
  }
  if (told.kind === 'client' || told.kind === 'duplex') {
    for (const request of requests) call.write(request);
    if (!told.open) call.end();
  }
}

let isOver = false;
function leaveWhenDone() {
  if (isOver && calls.size === 0) client.close();
}

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const told = JSON.parse(line);
  if (told.path) start(told);
  const state = calls.get(told.cancel ?? told.send ?? told.half_close);
  if (!state) return;
  if (told.cancel !== undefined) state.call.cancel();
  else if (told.send !== undefined) state.call.write(state.read(told.message));
  else state.call.end();
});
lines.on('close', () => {
  isOver = true;
  leaveWhenDone();
});
