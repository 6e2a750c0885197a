"""Training, export and offline evaluation of the gSASRec model that Marquee serves."""
