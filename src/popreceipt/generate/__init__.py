"""Programs for the project's developers: the generated catalogue, the long searches, the measurements."""
