"""The protocols besides OpenAI's chat: each face turns a request into a chat's, and what is answered into its words."""
