"""The checks behind `cdcd check`: a list of small functions, none of which stops the others."""
