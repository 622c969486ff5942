# Trains one model of each class on data that comes with R, and writes what plain R answers row by row.
# Rscript r_models.R FOLDER; for each model: NAME.rds, NAME.rows.json (columns) and NAME.expected.json (columns).
folder <- commandArgs(TRUE)[[1L]]
suppressMessages({
  library(rpart); library(randomForest); library(ranger); library(gbm); library(glmnet); library(nnet)
  library(mgcv); library(survival); library(e1071)
})
set.seed(7)

cars <- transform(mtcars, gear = factor(gear), am = am == 1, vs = factor(vs, labels = c("V", "straight")))
iris$Size <- factor(iris$Sepal.Length > 5.8, labels = c("small", "grande"))
iris$Rank <- cut(iris$Petal.Width, c(0, 1, 2, 3), labels = c("low", "mid", "high"), ordered_result = TRUE)
two <- droplevels(iris[iris$Species != "setosa", ])
lung <- na.omit(transform(lung, sex = factor(sex, labels = c("male", "female"))))

# Doubles as hexadecimal text: JSON would cut them at 15 digits.
write <- function(columns, file) {
  exact <- lapply(columns, function(x) if (is.numeric(x)) list(hex = sprintf("%a", x)) else list(text = x))
  writeLines(jsonlite::toJSON(exact, na = "null"), file.path(folder, file))
}

# `ask` answers a named list for the rows of a data.frame; it is called with one row at a time.
save_model <- function(name, model, rows, ask) {
  rows <- rows[seq_len(min(40L, nrow(rows))), , drop = FALSE]
  one <- lapply(seq_len(nrow(rows)), function(i) ask(model, rows[i, , drop = FALSE]))
  expected <- lapply(setNames(nm = names(one[[1L]])), function(n) {
    unlist(lapply(one, function(o) if (is.factor(o[[n]])) as.character(o[[n]]) else as.vector(o[[n]])))
  })
  saveRDS(model, file.path(folder, paste0(name, ".rds")))
  write(as.list(rows), paste0(name, ".rows.json"))
  write(expected, paste0(name, ".expected.json"))
}

value <- function(model, rows) list(prediction = predict(model, rows))
three <- function(p) as.list(setNames(as.vector(p), paste0("probability_", levels(iris$Species))))
shuffle <- function(d) d[sample(nrow(d)), ]

x <- c("wt", "hp", "gear", "am", "vs")
save_model("lm", lm(mpg ~ wt * hp + poly(qsec, 2) + gear + am + vs, cars), cars[c(x, "qsec")], value)
save_model("lm_ordered", lm(Sepal.Width ~ Petal.Length + Rank + Species, iris), shuffle(iris)[c("Rank", "Species", "Petal.Length")], value)
save_model("glm", glm(Species ~ Sepal.Length + Petal.Width + Size, binomial, two), shuffle(two)[c("Sepal.Length", "Petal.Width", "Size")],
  function(m, d) { p <- predict(m, d, type = "response"); list(label = levels(two$Species)[1 + (p > 0.5)], probability = p) })
save_model("glm_poisson", glm(carb ~ wt + offset(log(disp)), poisson, mtcars), mtcars[c("wt", "disp")],
  function(m, d) list(prediction = predict(m, d, type = "response")))
save_model("rpart", rpart(Species ~ Sepal.Length + Petal.Width + Rank, iris), shuffle(iris)[c("Sepal.Length", "Petal.Width", "Rank")],
  function(m, d) c(list(label = predict(m, d, type = "class")), three(predict(m, d, type = "prob"))))
save_model("rpart_loss", rpart(Species ~ Petal.Length + Petal.Width, two, parms = list(loss = matrix(c(0, 9, 1, 0), 2))),
  shuffle(two)[c("Petal.Length", "Petal.Width")],
  function(m, d) list(label = predict(m, d, type = "class"), probability = predict(m, d, type = "prob")[, 2]))
save_model("rpart_value", rpart(mpg ~ wt + gear + vs, cars), cars[c("wt", "gear", "vs")], value)
save_model("forest", randomForest(Species ~ Sepal.Length + Petal.Width + Size + Rank, iris, ntree = 51), shuffle(iris)[c("Sepal.Length", "Petal.Width", "Size", "Rank")],
  function(m, d) c(list(label = predict(m, d)), three(predict(m, d, type = "prob"))))
save_model("forest_value", randomForest(cars[x], cars$mpg, ntree = 50), cars[x], value)
save_model("ranger", ranger(Species ~ Sepal.Length + Petal.Width + Size, iris, num.trees = 50, probability = TRUE, num.threads = 1), shuffle(iris)[c("Sepal.Length", "Petal.Width", "Size")],
  function(m, d) { p <- predict(m, d)$predictions; c(list(label = levels(iris$Species)[which.max(p)]), three(p)) })
save_model("ranger_class", ranger(Species ~ Sepal.Length + Petal.Width, iris, num.trees = 51, num.threads = 1), shuffle(iris)[c("Sepal.Length", "Petal.Width")],
  function(m, d) list(label = predict(m, d)$predictions))
save_model("ranger_value", ranger(mpg ~ wt + hp + gear, cars, num.trees = 50, num.threads = 1), cars[c("wt", "hp", "gear")],
  function(m, d) list(prediction = predict(m, d)$predictions))
quiet <- function(expr) { utils::capture.output(r <- suppressWarnings(suppressMessages(expr))); r }
save_model("gbm", gbm(I(Species == "virginica") + 0 ~ Sepal.Length + Petal.Width + Size, data = two, distribution = "bernoulli", n.trees = 40), shuffle(two)[c("Sepal.Length", "Petal.Width", "Size")],
  function(m, d) list(probability = quiet(predict(m, d, n.trees = 40, type = "response"))))
save_model("gbm_value", gbm(Sepal.Width ~ Petal.Length + Species + Rank, data = iris, distribution = "gaussian", n.trees = 30), shuffle(iris)[c("Petal.Length", "Species", "Rank")],
  function(m, d) list(prediction = quiet(predict(m, d, n.trees = 30))))
save_model("gbm_multinomial", quiet(gbm(Species ~ Sepal.Length + Petal.Width, data = iris, distribution = "multinomial", n.trees = 20)), shuffle(iris)[c("Sepal.Length", "Petal.Width")],
  function(m, d) { p <- quiet(predict(m, d, n.trees = 20, type = "response"))[1, , 1]; c(list(label = levels(iris$Species)[which.max(p)]), three(p)) })
numbers <- c("wt", "hp", "disp", "qsec")
save_model("glmnet", cv.glmnet(as.matrix(mtcars[numbers]), mtcars$mpg), mtcars[numbers],
  function(m, d) list(prediction = predict(m, as.matrix(d), s = "lambda.1se")))
save_model("glmnet_binomial", cv.glmnet(as.matrix(two[1:4]), two$Species, family = "binomial"), shuffle(two)[1:4],
  function(m, d) list(label = predict(m, as.matrix(d), s = "lambda.1se", type = "class"), probability = predict(m, as.matrix(d), s = "lambda.1se", type = "response")))
save_model("glmnet_multinomial", cv.glmnet(as.matrix(iris[1:4]), iris$Species, family = "multinomial"), shuffle(iris)[1:4],
  function(m, d) c(list(label = predict(m, as.matrix(d), s = "lambda.1se", type = "class")), three(predict(m, as.matrix(d), s = "lambda.1se", type = "response"))))
save_model("nnet", nnet(Species ~ Sepal.Length + Petal.Width + Size, iris, size = 3, trace = FALSE), shuffle(iris)[c("Sepal.Length", "Petal.Width", "Size")],
  function(m, d) c(list(label = predict(m, d, type = "class")), three(predict(m, d))))
save_model("nnet_binary", nnet(Species ~ Sepal.Length + Petal.Width, two, size = 2, trace = FALSE), shuffle(two)[c("Sepal.Length", "Petal.Width")],
  function(m, d) list(label = predict(m, d, type = "class"), probability = predict(m, d)))
save_model("multinom", nnet::multinom(Species ~ Sepal.Length + Petal.Width, iris, trace = FALSE), shuffle(iris)[c("Sepal.Length", "Petal.Width")],
  function(m, d) c(list(label = predict(m, d)), three(predict(m, d, type = "probs"))))
save_model("gam", gam(mpg ~ s(wt) + hp + vs, data = cars), cars[c("wt", "hp", "vs")], value)
save_model("gam_binomial", suppressWarnings(gam(Species ~ s(Sepal.Length), binomial, two)), shuffle(two)["Sepal.Length"],
  function(m, d) { p <- predict(m, d, type = "response"); list(label = levels(two$Species)[1 + (p > 0.5)], probability = p) })
save_model("coxph", coxph(Surv(time, status) ~ age + sex + ph.ecog, lung), lung[c("age", "sex", "ph.ecog")], value)
save_model("coxph_strata", coxph(Surv(time, status) ~ age + strata(sex), lung, model = TRUE), lung[c("age", "sex")], value)
save_model("survreg", survreg(Surv(time, status) ~ age + sex, lung), lung[c("age", "sex")], value)
save_model("svm", svm(Species ~ Sepal.Length + Petal.Width, iris), shuffle(iris)[c("Sepal.Length", "Petal.Width")],
  function(m, d) list(label = predict(m, d)))
save_model("loess", loess(mpg ~ wt, mtcars), mtcars["wt"], value)
save_model("lm_factor_call", lm(mpg ~ wt + factor(cyl), mtcars), mtcars[c("wt", "cyl")], value)
save_model("lm_text", lm(mpg ~ wt + kind, transform(mtcars, kind = ifelse(am == 1, "manual", "auto"))), transform(mtcars, kind = ifelse(am == 1, "manual", "auto"))[c("wt", "kind")], value)

shared <- local({ f <- function(data) fit0 + predict(fit, data); environment(f) <- list2env(list(fit = lm(mpg ~ wt, mtcars), fit0 = 1), parent = globalenv()); f })
class(shared) <- "crate"
saveRDS(serialize(shared, NULL), file.path(folder, "crate.bin"))
saveRDS(structure(list(), class = "nobody_knows"), file.path(folder, "unknown.rds"))
