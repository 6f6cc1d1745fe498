"""What is drawn: each widget paints one part of a snapshot; none reads the database."""
