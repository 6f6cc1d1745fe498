"""How a suite is made: benchmark readers, conversion to multiple choice, annotation, audit."""
