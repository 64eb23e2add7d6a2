from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from asking_fixtures import contexts_of, server

__all__ = ["contexts_of", "server"]
