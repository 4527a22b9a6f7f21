"""What the bot says again and again: rendered once, made equally loud, played from memory."""
