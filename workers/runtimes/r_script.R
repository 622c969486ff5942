# score.R, in either of two conventions; see workers/runtimes/r_script.py, which documents them.

script_recipe <- function(folder, rds) {
  Sys.setenv(AZUREML_MODEL_DIR = folder)
  setwd(folder)
  code <- tryCatch(parse("score.R", keep.source = FALSE, encoding = "UTF-8"), error = function(e) {
    stop("score.R: ", conditionMessage(e))
  })
  for (expression in code) eval(expression, globalenv())
  defined <- function(name) exists(name, envir = globalenv(), mode = "function", inherits = FALSE)
  get_global <- function(name) get(name, envir = globalenv(), mode = "function", inherits = FALSE)
  started <- if (defined("init")) get_global("init")()
  if (defined("predict_rows")) {
    model <- if (defined("init")) started else if (nzchar(rds)) readRDS(rds)
    predict_rows <- get_global("predict_rows")
    recipe <- if (!is.null(model)) tryCatch(recipe_for(model), error = function(e) NULL)
    columns <- c("inputs", "names", "count", "numeric")
    return(c(recipe[columns], list(
      convention = "rows", class = "score.R",
      predict = function(rows) flatten(predict_rows(model, rows))
    )))
  }
  run <- if (is.function(started)) started else if (defined("run")) get_global("run")
  if (is.null(run)) stop("score.R defines neither predict_rows(model, rows), nor run(data), nor an init() that returns a function")
  text <- function(x) {
    if (is.character(x) && length(x) == 1L) return(enc2utf8(as.vector(x)))
    as.character(jsonlite::toJSON(x, auto_unbox = TRUE, digits = NA, null = "null", na = "null"))
  }
  list(
    convention = "json",
    predict = function(rows) list(result = vapply(rows$data, function(data) text(run(data)), "", USE.NAMES = FALSE))
  )
}
