"""What the defaults give on twelve data sets, against a Gaussian fit and other libraries."""
