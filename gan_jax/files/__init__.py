"""Files and folders: written whole or not at all, by names that can be read back; what libraries keep and print."""
