"""How often somebody may ask: by user, and by address where nobody is known yet."""
