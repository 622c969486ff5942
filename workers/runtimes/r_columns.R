# What a model takes, read from the model. A column is list(name, kind, levels, ordered, nullable, typical); kind
# is float, boolean or categorical; typical a number that the model is sure to take, or NULL. NULL instead of columns: the model does not hold them.

column <- function(name, kind = "float", levels = character(), ordered = FALSE, nullable = FALSE, typical = NULL) {
  list(
    name = name, kind = kind, levels = enc2utf8(as.character(levels)), ordered = ordered, nullable = nullable,
    typical = typical
  )
}

# A variable that stands in the formula by itself has the class that model.frame() saw; one that stands only inside
# calls, such as x in log(x) or factor(x), is a number unless the levels of the call say that it was text.
columns_of_terms <- function(tt, xlevels = NULL, nullable = FALSE, extra = character()) {
  tt <- delete.response(tt)
  classes <- attr(tt, "dataClasses")
  variables <- as.list(attr(tt, "variables"))[-1L]
  if (is.null(classes) && length(variables)) return(NULL)
  found <- list()
  for (variable in variables[order(!vapply(variables, is.name, NA))]) {
    key <- paste(deparse(variable, width.cutoff = 500L, backtick = !is.name(variable)), collapse = " ")
    for (name in setdiff(all.vars(variable), c(names(found), "pi", "T", "F"))) {
      found[[name]] <- if (is.name(variable)) {
        column_of_class(name, classes[[key]], xlevels[[key]], nullable)
      } else {
        column_in_call(name, xlevels[[key]], nullable)
      }
    }
  }
  for (name in setdiff(extra, names(found))) found[[name]] <- column(name, nullable = nullable)
  in_formula <- unique(c(unlist(lapply(variables, all.vars)), extra))
  unname(found[intersect(in_formula, names(found))])
}

column_of_class <- function(name, class, levels, nullable) {
  switch(class,
    numeric = column(name, nullable = nullable),
    logical = column(name, "boolean"),
    factor = ,
    ordered = ,
    character = column(name, "categorical", levels, class == "ordered", nullable), # no levels: signature.json must
    stop(sprintf('column "%s" was of class "%s" in training, which cannot be sent', name, class))
  )
}

column_in_call <- function(name, levels, nullable) {
  levels <- sub(paste0(name, "="), "", levels, fixed = TRUE) # strata(sex) has levels such as "sex=1"
  numbers <- suppressWarnings(as.numeric(levels))
  if (anyNA(numbers)) return(column(name, "categorical", levels, nullable = nullable))
  column(name, nullable = nullable, typical = if (length(numbers)) numbers[[1L]])
}

columns_of_list <- function(levels, ordered, nullable) {
  unname(Map(
    function(name, l, o) {
      if (is.character(l)) column(name, "categorical", l, o, nullable) else column(name, nullable = nullable)
    },
    names(levels), levels, ordered
  ))
}
