# Sourced into one environment of its own, whose parent is the global one.
#
# guard() makes the closure that is called per batch. It answers list(status, value, warnings, collections) and never
# raises: status 0 with the columns, 1 with c(message, class) of an error, 2 after an interrupt. Warnings are collected,
# message and class in turn, up to `limit` different ones, and do not stop the model.

# Collections are counted by an object that dies in the very next one: its finalizer counts and makes the next object.
# R (4.2, RunFinalizers in memory.c) may forget an object that a finalizer registers when another finalizer runs right
# after it, so the chain can break. A second object, registered outside of finalizers only, notices: when it died and the
# count stands still, the chain is made anew. It is registered after the chain, so R finds it first and the two do not
# break each other.
collections <- 0L
counted <- 0L # at the last look
chain <- 0L # number of the chain that counts; an older one ends by itself
has_collected <- FALSE

follow_chain <- function(number) {
  reg.finalizer(new.env(parent = emptyenv()), function(e) {
    if (number == chain) {
      collections <<- collections + 1L
      follow_chain(number)
    }
  })
  invisible()
}

start_chain <- function() {
  chain <<- chain + 1L
  follow_chain(chain)
  counted <<- collections
  set_tripwire()
}

set_tripwire <- function() {
  has_collected <<- FALSE
  reg.finalizer(new.env(parent = emptyenv()), function(e) has_collected <<- TRUE)
  invisible()
}

look <- function() {
  if (collections == counted) {
    collections <<- collections + 1L
    return(start_chain())
  }
  counted <<- collections
  set_tripwire()
}

guard <- function(predictor, limit = 8L) {
  force(predictor)
  seen <- character()
  note <- function(w) {
    if (length(seen) < 2L * limit) {
      message <- paste(conditionMessage(w), collapse = " ") # a condition of one's own may hold none, or several
      kind <- class(w)[[1L]]
      messages <- seq.int(1L, by = 2L, length.out = length(seen) %/% 2L)
      if (!any(seen[messages] == message & seen[messages + 1L] == kind)) seen <<- c(seen, message, kind)
    }
    tryInvokeRestart("muffleWarning")
  }
  failed <- function(e) list(1L, c(conditionMessage(e), class(e)[[1L]]), seen, collections)
  interrupted <- function(e) list(2L, NULL, seen, collections)
  function(rows) {
    seen <<- character()
    if (has_collected) look()
    tryCatch(
      {
        value <- withCallingHandlers(predictor(rows), warning = note)
        list(0L, value, seen, collections)
      },
      error = failed,
      interrupt = interrupted
    )
  }
}

# R collects the oldest generation at every 126th collection (21 × 6, memory.c), and an explicit full collection does
# not move that count. step_to_full() walks the count by young collections, about 1 ms each, until the one that takes
# the oldest generation along has happened here instead of in a batch. `sentinel` was made at the last turn, so by now
# it is in the oldest generation, and only a full collection can finalize it.
full_seen <- FALSE
sentinel <- NULL

age_sentinel <- function() {
  sentinel <<- new.env(parent = emptyenv())
  reg.finalizer(sentinel, function(e) full_seen <<- TRUE)
  invisible()
}

step_to_full <- function() {
  full_seen <<- FALSE
  sentinel <<- NULL
  for (step in seq_len(130L)) {
    gc(full = FALSE)
    if (full_seen) break
  }
  age_sentinel()
  collections <<- 0L
  start_chain()
  full_seen
}
