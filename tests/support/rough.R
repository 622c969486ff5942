# Writes model.rds and plain R's answers for one column of weights. Rscript rough.R FOLDER
folder <- commandArgs(TRUE)[[1L]]
model <- lm(mpg ~ wt, mtcars)
saveRDS(model, file.path(folder, "model.rds"))
wt <- seq(1, 6, by = 0.05)
writeLines(sprintf("%a %a", wt, predict(model, data.frame(wt = wt))), file.path(folder, "answers.txt"))
