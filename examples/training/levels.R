# The grades of a diamond, worst to best (colour: best to worst), as ggplot2 orders them. The signature.json of both
# diamond models lists the same levels in the same order: a ranger forest holds none and would take any order for this.
diamond_levels <- list(
  cut = c("Fair", "Good", "Very Good", "Premium", "Ideal"),
  color = c("D", "E", "F", "G", "H", "I", "J"),
  clarity = c("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF")
)

# Plain factors with these levels; anything else becomes NA.
as_graded <- function(data) {
  for (name in names(diamond_levels)) {
    data[[name]] <- factor(as.character(data[[name]]), levels = diamond_levels[[name]])
  }
  data
}
