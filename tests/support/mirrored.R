# Trains small models and the same ones with two levels swapped. Rscript mirrored.R FOLDER
folder <- commandArgs(TRUE)[[1L]]
save <- function(model, name) {
  dir.create(file.path(folder, name))
  saveRDS(model, file.path(folder, name, "model.rds"))
}
flowers <- iris[iris$Species != "versicolor", ]
flowers$Species <- droplevels(flowers$Species)
swapped <- function(f) factor(f, levels = rev(levels(f)), labels = levels(f))

save(lm(Sepal.Length ~ Petal.Width + Species, iris), "length")
mistaken <- transform(iris, Species = factor(Species, levels = levels(Species)[c(1, 3, 2)], labels = levels(Species)))
save(lm(Sepal.Length ~ Petal.Width + Species, mistaken), "length-swapped")

overlapping <- droplevels(iris[iris$Species != "setosa", ])
save(glm(Species ~ Sepal.Length + Petal.Length, binomial, overlapping), "kind")
save(glm(Species ~ Sepal.Length + Petal.Length, binomial, transform(overlapping, Species = swapped(Species))), "kind-swapped")
save(lm(mpg ~ wt, mtcars), "steady")
