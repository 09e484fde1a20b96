"""One file for each family of kinds: all that is known of them."""
