"""History: what happened in each minute, kept in the database, thinned out with age, and read as trends."""
