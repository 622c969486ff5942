# Makes the R models of the bench: an lm and a randomForest of 500 trees on the diamonds data of ggplot2.
# Usage: Rscript models.R FOLDER [ROWS]
#
# Writes FOLDER/<name>/model.rds and FOLDER/<name>/signature.json (with 32 sample rows) for the names lm and
# random-forest. Not committed: made in seconds, and the same every time. ROWS (400) is the number of rows to train on
# and with it the size of the forest, which predict() copies on every call: one call takes about 3 ms at 200 rows, 4 ms
# at 400 and 11 ms at 1,000.
args <- commandArgs(trailingOnly = TRUE)
folder <- args[[1]]
rows <- if (length(args) > 1L) as.integer(args[[2]]) else 400L

diamonds <- as.data.frame(ggplot2::diamonds)
grades <- c("cut", "color", "clarity")
for (name in grades) {
  diamonds[[name]] <- factor(as.character(diamonds[[name]]), levels = levels(diamonds[[name]]))
}
set.seed(20)
train <- diamonds[sort(sample(nrow(diamonds), rows)), ]
formula <- price ~ carat + cut + color + clarity + depth + table + x + y + z
inputs <- all.vars(formula)[-1L]

unboxed <- function(value) jsonlite::unbox(value)
column <- function(name) {
  values <- train[[name]]
  if (is.factor(values)) {
    return(list(name = unboxed(name), type = unboxed("categorical"), levels = levels(values)))
  }
  list(name = unboxed(name), type = unboxed("float"), datatype = unboxed("FP64"))
}
example <- lapply(1:32, function(i) {
  lapply(inputs, function(name) {
    value <- train[[name]][[i]]
    unboxed(if (is.factor(value)) as.character(value) else value)
  })
})
signature <- jsonlite::toJSON(list(inputs = lapply(inputs, column), example = example), digits = NA)

save_model <- function(model, name) {
  dir.create(file.path(folder, name), recursive = TRUE, showWarnings = FALSE)
  saveRDS(model, file.path(folder, name, "model.rds"))
  writeLines(signature, file.path(folder, name, "signature.json"))
}

save_model(lm(formula, train), "lm")
save_model(randomForest::randomForest(formula, train, ntree = 500), "random-forest")
