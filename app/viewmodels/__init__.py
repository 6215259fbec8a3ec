"""What the window shows, as plain state and signals: testable without a widget."""
