# The answers of plain R: readRDS() and predict(), nothing of Lockgate.
# Usage: Rscript plain_r.R MODEL.rds ROWS.csv [ROWS_PER_CALL]   (in this folder, for levels.R)
# Prints CSV with 17 significant digits, which give back every double exactly.
suppressPackageStartupMessages(library(ranger))
source("levels.R")
args <- commandArgs(trailingOnly = TRUE)
model <- readRDS(args[[1]])
data <- read.csv(args[[2]], stringsAsFactors = FALSE)
rows_per_call <- if (length(args) > 2L) as.integer(args[[3]]) else nrow(data)

answer <- function(rows) {
  if (inherits(model, "ranger")) {
    return(data.frame(price = predict(model, as_graded(rows), num.threads = 1)$predictions))
  }
  probability <- unname(predict(model, rows, type = "response"))
  data.frame(probability = probability, label = ifelse(probability > 0.5, "malignant", "benign"))
}

starts <- seq(1L, nrow(data), by = rows_per_call)
calls <- lapply(starts, function(i) answer(data[i:min(i + rows_per_call - 1L, nrow(data)), , drop = FALSE]))
answers <- do.call(rbind, calls)
for (name in names(answers)) {
  if (is.numeric(answers[[name]])) answers[[name]] <- sprintf("%.17g", answers[[name]])
}
write.csv(answers, row.names = FALSE, quote = FALSE)
