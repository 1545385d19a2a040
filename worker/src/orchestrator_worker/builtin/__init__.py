"""The task types that every worker serves, behind the same door as users' own.

Importing this package must stay cheap: the worker does it at its start. Libraries
that do the work are imported by the handlers, in child processes.

Before: the entry-point group ``orchestrator.handlers`` names ``handlers``.
After: ``discover_handlers`` returns them with all others.
"""

from orchestrator_core.handlers import HandlerGroup
from orchestrator_worker.builtin import cleanups, emails, exports, images, reports, videos

handlers = HandlerGroup()
cleanups.register(handlers)
emails.register(handlers)
exports.register(handlers)
images.register(handlers)
reports.register(handlers)
videos.register(handlers)

__all__ = ["handlers"]
