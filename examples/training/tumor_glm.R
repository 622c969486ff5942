# Trains the R side of tumor: a logistic regression on ten measures.
# Usage: Rscript tumor_glm.R DATA.csv MODEL.rds
args <- commandArgs(trailingOnly = TRUE)

data <- read.csv(args[[1]], stringsAsFactors = FALSE)
data$diagnosis <- factor(data$diagnosis, levels = c("benign", "malignant"))
train <- data[data$held_out == 0L, ]
held_out <- data[data$held_out == 1L, ]

measures <- grep("^worst_", names(data), value = TRUE)
model <- glm(reformulate(measures, "diagnosis"), family = binomial, data = train)
stopifnot(model$converged)

# A glm carries its training rows several times over. predict() needs the coefficients, the terms and the pivot; the
# empty model frame keeps the levels of the response.
small <- model
for (part in c("data", "y", "residuals", "fitted.values", "effects", "weights", "prior.weights", "linear.predictors")) {
  small[[part]] <- NULL
}
small$model <- model$model[0L, , drop = FALSE]
small$qr$qr <- model$qr$qr[0L, , drop = FALSE]
predicted <- predict(model, held_out, type = "response")
stopifnot(identical(predict(small, held_out, type = "response"), predicted))
saveRDS(small, args[[2]], version = 3, compress = "xz")

is_malignant <- held_out$diagnosis == "malignant"
cat(sprintf(
  "tumor-glm: %d held-out rows, accuracy %.4f, log loss %.4f\n",
  nrow(held_out), mean((predicted > 0.5) == is_malignant),
  -mean(ifelse(is_malignant, log(predicted), log1p(-predicted)))
))
