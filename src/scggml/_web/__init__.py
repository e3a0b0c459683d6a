"""Get what comes from the network, by requests that end, into files that are whole or not there."""
