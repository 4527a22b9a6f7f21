"""Speech and understanding for all calls: the chains that the settings ask for, built and run."""
