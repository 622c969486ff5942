# The peer: one R process that serves one model with plumber, written the way its documentation does.
# Usage: Rscript plumber.R MODEL.rds PORT
#
#   POST /score {"data": [{"carat": 0.31, "cut": "Ideal", ...}, ...]}  ->  {"price": [431.6, ...]}
#   GET /live                                                          ->  "alive", once the model is loaded
#
# Text becomes factors with the levels of the model, which randomForest insists on; nothing else is done to a row, and
# there is neither TLS nor a key, so that plumber is measured at its best.
suppressPackageStartupMessages(library(plumber))
args <- commandArgs(trailingOnly = TRUE)
model <- readRDS(args[[1]])
if (inherits(model, "randomForest")) suppressPackageStartupMessages(library(randomForest))

model_levels <- if (inherits(model, "randomForest")) model$forest$xlevels else model$xlevels
model_levels <- Filter(is.character, model_levels)
output <- all.vars(terms(model))[[1]]

score <- function(req, res, data) {
  if (!is.data.frame(data)) {
    res$status <- 400L
    return(list(error = "expected {\"data\": [{column: value, ...}, ...]}"))
  }
  for (name in names(model_levels)) {
    data[[name]] <- factor(data[[name]], levels = model_levels[[name]])
  }
  answer <- list(unname(predict(model, data)))
  names(answer) <- output
  answer
}

pr() |>
  pr_get("/live", function() "alive") |>
  pr_post("/score", score, serializer = serializer_json(digits = 15)) |>
  pr_set_docs(FALSE) |>
  pr_run(host = "127.0.0.1", port = as.integer(args[[2]]), quiet = TRUE)
