"""Jobs in processes of their own, side by side, each in a folder that is whole or absent."""
