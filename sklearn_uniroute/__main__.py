"""Run the command line."""

from sklearn_uniroute._cli import main

if __name__ == "__main__":
    main()
