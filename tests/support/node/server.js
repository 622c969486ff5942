// An echo server of gRPC's own library for Node.js. Prints its port; "left" when a caller of "wait" or "pour" has gone.
'use strict';

const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const [certificate, key] = process.argv.slice(2);
const pairs = [{ cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) }];
const same = (bytes) => bytes;

function method(name, requestStream, responseStream) {
  return {
    path: `/t.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function say(line) {
  process.stdout.write(line + '\n');
}

const handlers = {
  echo(call, callback) {
    const initial = new grpc.Metadata();
    const trailing = new grpc.Metadata();
    for (const value of call.metadata.get('x-a')) initial.add('x-a', value);
    for (const value of call.metadata.get('x-b-bin')) trailing.add('x-b-bin', value);
    call.sendMetadata(initial);
    callback(null, call.request, trailing);
  },
  abort(call, callback) {
    callback({ code: grpc.status.FAILED_PRECONDITION, details: call.request.toString() });
  },
  wait(call) {
    call.on('cancelled', () => say('left'));
    say('waits');
  },
  split(call) {
    for (const byte of call.request) call.write(Buffer.from([byte]));
    call.end();
  },
  pour(call) {
    const block = Buffer.alloc(10000);
    const pour = () => {
      while (!call.cancelled && call.write(block));
    };
    call.on('drain', pour);
    call.on('cancelled', () => say('left'));
    pour();
  },
  join(call, callback) {
    const parts = [];
    call.on('data', (part) => parts.push(part));
    call.on('end', () => callback(null, Buffer.concat(parts)));
  },
  chat(call) {
    call.on('data', (part) => call.write(Buffer.from(part.toString().toUpperCase())));
    call.on('end', () => call.end());
  },
};

const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
server.addService(
  {
    echo: method('echo', false, false),
    abort: method('abort', false, false),
    wait: method('wait', false, false),
    split: method('split', false, true),
    pour: method('pour', false, true),
    join: method('join', true, false),
    chat: method('chat', true, true),
  },
  handlers,
);
server.bindAsync('localhost:0', grpc.ServerCredentials.createSsl(null, pairs), (error, port) => {
  if (error) throw error;
  say(String(port));
});
