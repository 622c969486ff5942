# Trains the R side of diamond-price: a ranger forest of 40 trees.
# Usage: Rscript diamonds_ranger.R DATA.csv MODEL.rds   (in this folder, for levels.R)
source("levels.R")
args <- commandArgs(trailingOnly = TRUE)

data <- as_graded(read.csv(args[[1]], stringsAsFactors = FALSE))
train <- data[data$held_out == 0L, ]
held_out <- data[data$held_out == 1L, ]

model <- ranger::ranger(
  price ~ carat + cut + color + clarity + depth + table + x + y + z,
  data = train, num.trees = 40, mtry = 4, min.node.size = 20, oob.error = FALSE, num.threads = 1, seed = 20
)

# The training answers are of no use to predict(); the forest alone is.
small <- model
small$predictions <- NULL
predicted <- predict(model, held_out, num.threads = 1)$predictions
stopifnot(identical(predict(small, held_out, num.threads = 1)$predictions, predicted))
saveRDS(small, args[[2]], version = 3, compress = "xz")

residual <- held_out$price - predicted
cat(sprintf(
  "diamonds-ranger: %d held-out rows, R2 %.4f, mean absolute error %.1f USD\n",
  nrow(held_out), 1 - sum(residual^2) / sum((held_out$price - mean(held_out$price))^2), mean(abs(residual))
))
