"""The sandbox as it would be if some word that leads to a COPY were not known."""

import re

from finance_lake.reading import sandbox

if __name__ == "__main__":
    sandbox.WRITING = re.compile("(?!)")  # matches nothing
    sandbox.main()
