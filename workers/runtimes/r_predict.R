# How each class of model is asked. A recipe takes the model and gives list(inputs, predict, names, numeric):
# `inputs` as r_columns.R makes them, or NULL where the model does not hold them; `names` the predictors that it then at
# least knows by name; `numeric` whether all of them have to be numbers. predict(rows) answers a named list of columns.
#
# Regression gives `prediction`. Classification gives `label` and, for two classes, `probability` (of the second level,
# as glm has it), for more `probability_<class>` each. Probabilities are computed once and the label follows from
# them; equal votes go to the first class, where randomForest and nnet would throw dice.

packages <- c(
  rpart = "rpart", randomForest = "randomForest", ranger = "ranger", gbm = "gbm", glmnet = "glmnet",
  cv.glmnet = "glmnet", nnet = "nnet", multinom = "nnet", gam = "mgcv", coxph = "survival", survreg = "survival",
  svm = "e1071", naiveBayes = "e1071", lda = "MASS", qda = "MASS", polr = "MASS", rlm = "MASS", negbin = "MASS",
  glmerMod = "lme4", lmerMod = "lme4", xgb.Booster = "xgboost", train = "caret", workflow = "workflows"
)

binary <- function(p, levels) {
  if (length(levels) != 2L) return(list(probability = p))
  list(label = structure(1L + (p > 0.5), levels = levels, class = "factor"), probability = p)
}

classes <- function(p, levels, score = p) {
  if (is.null(dim(p))) p <- matrix(p, ncol = length(levels)) # some methods drop the dimension of a single row
  if (is.null(dim(score))) score <- p
  label <- structure(max.col(score, "first"), levels = levels, class = "factor")
  if (length(levels) == 2L) return(list(label = label, probability = p[, 2L]))
  columns <- lapply(seq_along(levels), function(j) p[, j])
  names(columns) <- paste0("probability_", levels)
  c(list(label = label), columns)
}

# Whatever a predict method returns, as named columns.
flatten <- function(x, name = NULL) {
  if (is.list(x) && !is.data.frame(x) && !is.null(x$predictions)) return(flatten(x$predictions, name))
  if (is.list(x)) {
    parts <- Map(function(part, n) flatten(part, if (is.null(name)) n else paste(name, n, sep = "_")), unclass(x), names(x))
    return(do.call(c, unname(parts)))
  }
  d <- dim(x)
  if (length(d) == 3L && d[[3L]] == 1L) {
    labels <- dimnames(x)[[2L]]
    x <- matrix(x, d[[1L]], d[[2L]], dimnames = list(NULL, labels))
    d <- d[1:2]
  }
  if (length(d) == 2L && d[[2L]] > 1L) {
    labels <- colnames(x)
    if (is.null(labels)) labels <- paste0(if (is.null(name)) "prediction_", seq_len(d[[2L]]))
    if (!is.null(name)) labels <- paste(name, labels, sep = "_")
    columns <- lapply(seq_len(d[[2L]]), function(j) x[, j])
    names(columns) <- labels
    return(columns)
  }
  if (is.character(x)) x <- enc2utf8(x)
  if (is.null(name)) name <- if (is.factor(x) || is.character(x)) "label" else "prediction"
  structure(list(x), names = name)
}

offset_names <- function(model) all.vars(model$call$offset)

recipes <- list(
  glm = function(model) {
    inputs <- columns_of_terms(terms(model), model$xlevels, extra = offset_names(model))
    if (!model$family$family %in% c("binomial", "quasibinomial")) {
      return(list(inputs = inputs, predict = function(rows) list(prediction = predict(model, rows, type = "response"))))
    }
    response <- if (!is.null(model$model)) model.response(model$model)
    levels <- if (is.factor(response)) levels(response)
    list(inputs = inputs, predict = function(rows) binary(predict(model, rows, type = "response"), levels))
  },
  lm = function(model) {
    list(
      inputs = columns_of_terms(terms(model), model$xlevels, extra = offset_names(model)),
      predict = function(rows) flatten(predict(model, rows))
    )
  },
  rpart = function(model) {
    levels <- attr(model, "ylevels")
    n <- length(levels)
    list(
      inputs = columns_of_terms(model$terms, attr(model, "xlevels"), nullable = TRUE),
      predict = if (!n) {
        function(rows) flatten(predict(model, rows))
      } else {
        function(rows) {
          # One matrix holds the class, the counts and the probabilities; the class minds priors and losses.
          # Of a single row predict() cannot make one (rpart 4.1.19), so that one is asked twice.
          is_single <- nrow(rows) == 1L
          m <- predict(model, if (is_single) rows[c(1L, 1L), , drop = FALSE] else rows, type = "matrix")
          if (is_single) m <- m[1L, , drop = FALSE]
          columns <- classes(m[, 1L + n + seq_len(n), drop = FALSE], levels)
          columns$label <- structure(as.integer(m[, 1L]), levels = levels, class = "factor")
          columns
        }
      }
    )
  },
  randomForest = function(model) {
    if (is.null(model$forest)) stop("it was trained with keep.forest = FALSE")
    forest <- model$forest
    inputs <- if (is.null(model$terms)) {
      columns_of_list(forest$xlevels, forest$ncat == 1L, FALSE)
    } else {
      columns_of_terms(model$terms, Filter(is.character, forest$xlevels))
    }
    list(inputs = inputs, predict = if (model$type == "regression") {
      function(rows) list(prediction = predict(model, rows))
    } else {
      function(rows) {
        p <- predict(model, rows, type = "prob")
        classes(p, model$classes, p / rep(forest$cutoff, each = nrow(p)))
      }
    })
  },
  ranger = function(model) {
    if (is.null(model$forest)) stop("it was trained with write.forest = FALSE")
    if (model$treetype == "Survival") stop("survival forests need a score.R that says what to return")
    list(
      inputs = NULL, names = model$forest$independent.variable.names,
      predict = function(rows) {
        x <- predict(model, rows, num.threads = 1L, verbose = FALSE)$predictions
        if (is.null(dim(x))) return(flatten(x))
        classes(x, colnames(x))
      }
    )
  },
  gbm = function(model) {
    trees <- if (model$train.fraction < 1) {
      gbm::gbm.perf(model, method = "test", plot.it = FALSE)
    } else if (!is.null(model$cv.error)) {
      gbm::gbm.perf(model, method = "cv", plot.it = FALSE)
    } else {
      length(model$train.error)
    }
    ask <- function(rows) predict(model, rows, n.trees = trees, type = "response")
    levels <- model$var.levels
    names(levels) <- model$var.names
    list(
      inputs = columns_of_list(levels, model$var.type == 0, TRUE),
      predict = switch(model$distribution$name,
        bernoulli = , adaboost = , huberized = function(rows) list(probability = ask(rows)),
        multinomial = function(rows) {
          p <- ask(rows)
          classes(matrix(p, ncol = length(model$classes)), model$classes)
        },
        function(rows) flatten(ask(rows))
      )
    )
  },
  glmnet = function(model) {
    fit <- if (inherits(model, "cv.glmnet")) model$glmnet.fit else model
    if (identical(fit, model) && length(model$lambda) != 1L) {
      stop("it holds ", length(model$lambda), " values of lambda: save the result of cv.glmnet(), or write a score.R")
    }
    beta <- if (is.list(fit$beta)) fit$beta[[1L]] else fit$beta
    names <- rownames(beta)
    positional <- all(grepl("^V[0-9]+$", names))
    ask <- function(rows) {
      if (!positional) rows <- unclass(rows)[names]
      x <- matrix(unlist(rows, use.names = FALSE), ncol = length(names), dimnames = list(NULL, names))
      if (identical(fit, model)) predict(model, x, type = "response") else predict(model, x, s = "lambda.1se", type = "response")
    }
    list(
      inputs = NULL, names = if (!positional) names, count = length(names), numeric = TRUE,
      predict = if (inherits(fit, "lognet")) {
        function(rows) binary(as.vector(ask(rows)), fit$classnames)
      } else if (inherits(fit, "multnet")) {
        function(rows) classes(matrix(ask(rows), ncol = length(fit$classnames)), fit$classnames)
      } else {
        function(rows) flatten(ask(rows))
      }
    )
  },
  multinom = function(model) {
    list(
      inputs = columns_of_terms(model$terms, model$xlevels),
      predict = function(rows) {
        p <- predict(model, rows, type = "probs")
        if (length(model$lev) == 2L) binary(as.vector(p), model$lev) else classes(p, model$lev)
      }
    )
  },
  nnet = function(model) {
    formula <- !is.null(model$terms)
    levels <- model$lev
    list(
      inputs = if (formula) columns_of_terms(model$terms, model$xlevels), count = model$n[[1L]], numeric = !formula,
      predict = function(rows) {
        z <- predict(model, rows)
        if (is.null(levels)) return(flatten(z))
        if (ncol(z) == 1L) binary(z[, 1L], levels) else classes(z, levels)
      }
    )
  },
  gam = function(model) {
    inputs <- unname(Map(function(name, x) {
      if (is.matrix(x)) stop(sprintf('column "%s" is a matrix, which cannot be sent', name))
      if (is.factor(x)) return(column(name, "categorical", levels(x), is.ordered(x)))
      if (is.logical(x)) column(name, "boolean") else column(name, typical = as.numeric(stats::median(x)))
    }, names(model$var.summary), model$var.summary))
    response <- if (!is.null(model$model)) model.response(model$model)
    levels <- if (is.factor(response)) levels(response)
    is_binomial <- model$family$family %in% c("binomial", "quasibinomial")
    list(inputs = inputs, predict = function(rows) {
      p <- predict(model, rows, type = "response")
      if (is_binomial) binary(as.vector(p), levels) else flatten(p)
    })
  },
  coxph = function(model) {
    list(
      inputs = columns_of_terms(terms(model), model$xlevels),
      predict = function(rows) list(prediction = predict(model, rows))
    )
  },
  survreg = function(model) {
    list(
      inputs = columns_of_terms(terms(model), model$xlevels),
      predict = function(rows) list(prediction = predict(model, rows))
    )
  },
  svm = function(model) {
    levels <- model$levels
    list(
      inputs = tryCatch(columns_of_terms(model$terms, model$xlevels), error = function(e) NULL),
      numeric = is.null(model$terms),
      predict = function(rows) {
        if (is.null(levels) || !isTRUE(model$compprob)) return(flatten(c(predict(model, rows))))
        x <- predict(model, rows, probability = TRUE)
        columns <- classes(attr(x, "probabilities")[, levels, drop = FALSE], levels)
        columns$label <- x
        columns
      }
    )
  },
  crate = function(model) list(inputs = NULL, predict = function(rows) flatten(model(rows)))
)
recipes$cv.glmnet <- recipes$glmnet

by_predict_method <- function(model) {
  inputs <- tryCatch(
    columns_of_terms(terms(model), if (is.list(model)) model$xlevels),
    error = function(e) NULL
  )
  list(inputs = inputs, predict = function(rows) flatten(predict(model, rows)))
}

attach_for <- function(model) {
  needed <- c(unique(packages[intersect(class(model), names(packages))]), attr(class(model), "package"))
  needed <- setdiff(needed, c(NA, ".GlobalEnv"))
  for (package in needed) {
    if (!suppressWarnings(require(package, character.only = TRUE, quietly = TRUE))) {
      stop(sprintf('a model of class "%s" needs the R package "%s", which is not installed', class(model)[[1L]], package))
    }
  }
  formula <- tryCatch(all.names(formula(model)), error = function(e) character())
  if (any(c("ns", "bs") %in% formula)) library(splines)
  if (any(c("Surv", "strata", "pspline") %in% formula)) library(survival)
}

recipe_for <- function(model) {
  attach_for(model)
  known <- intersect(class(model), names(recipes))
  if (inherits(model, "mlm")) known <- character() # several responses at once: only predict() itself knows
  recipe <- if (length(known)) {
    recipes[[known[[1L]]]](model)
  } else if (has_predict(model)) {
    by_predict_method(model)
  } else {
    stop(sprintf('R finds no predict method for class "%s": load its package in a score.R', class(model)[[1L]]))
  }
  recipe$class <- class(model)
  recipe
}

has_predict <- function(model) {
  if (any(vapply(class(model), function(c) !is.null(getS3method("predict", c, optional = TRUE)), NA))) return(TRUE)
  isS4(model) && methods::isGeneric("predict") && methods::hasMethod("predict", class(model)[[1L]])
}

rds_recipe <- function(path) recipe_for(readRDS(path))

# MLflow wrote saveRDS(serialize(crate, NULL)).
crate_recipe <- function(path) recipe_for(unserialize(readRDS(path)))
