"""Read a user's file of prices: what it contains is detected or asked for, never guessed, and every digit is kept."""
