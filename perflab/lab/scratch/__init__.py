"""Where measurements write in a user's database: schemas and folders with unique names, gone afterwards."""
