"""What comes from the network: requests that end, and files that are whole or not there."""
