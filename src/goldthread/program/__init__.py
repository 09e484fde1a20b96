"""What users import: a member's life as its program sees it."""
