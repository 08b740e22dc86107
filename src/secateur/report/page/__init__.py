"""report.html: its data, view and gallery."""
