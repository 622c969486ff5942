# Writes the diamonds data of ggplot2 as CSV, with the number of each row (from 1) and whether it is held out:
# every fifth row is. Usage: Rscript diamonds_data.R OUT.csv
out <- commandArgs(trailingOnly = TRUE)[[1]]

data <- as.data.frame(ggplot2::diamonds)
stopifnot(nrow(data) == 53940L)
row <- seq_len(nrow(data))
data <- cbind(row = row, held_out = as.integer(row %% 5L == 0L), data)
write.csv(data, out, row.names = FALSE, quote = FALSE)
