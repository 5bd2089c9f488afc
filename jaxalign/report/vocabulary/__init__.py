"""What all parts of a report speak in: labels, colours, relations, orders, tables and views."""
