# Sourced into one environment of its own, whose parent is the global one.
#
# guard() makes the closure that is called per batch. It answers list(status, value, warnings, collections) and never
# raises: status 0 with the columns, 1 with c(message, class) of an error, 2 after an interrupt. Warnings are collected,
# up to `limit` different ones, and do not stop the model.

collections <- 0L

# A new object dies in the very next collection, whatever its generation: its finalizer counts them.
count_collections <- function() {
  reg.finalizer(new.env(parent = emptyenv()), function(e) {
    collections <<- collections + 1L
    count_collections()
  })
  invisible()
}

guard <- function(predictor, limit = 8L) {
  force(predictor)
  seen <- character()
  note <- function(w) {
    if (length(seen) < limit) seen <<- unique(c(seen, conditionMessage(w)))
    tryInvokeRestart("muffleWarning")
  }
  failed <- function(e) list(1L, c(conditionMessage(e), class(e)[[1L]]), seen, collections)
  interrupted <- function(e) list(2L, NULL, seen, collections)
  function(rows) {
    seen <<- character()
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
  full_seen
}
