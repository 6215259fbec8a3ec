"""What the server says back: chunks and whole answers, streams, errors; each kind of answer in a file of its own."""
