"""What is asked: files that go along, prompt files and their queue, and how much of the context that takes."""
