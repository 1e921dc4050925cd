"""The base of the tabs of a policy."""

from typing import Any, ClassVar

from django.http import Http404

from dashboard.access import Page
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.policy_states import state_of


class PolicyTab(Page):
    """A tab of the pages of a policy. `tab` is the name of its URL."""

    tab: ClassVar[str]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        policy = state_of(kwargs["name"])
        if policy is None:
            raise Http404("There is no such policy.")
        # live.js fetches an open page again to update only the sections that change with each run.
        again = "HX-Request" in self.request.headers
        return super().get_context_data(
            after=after, policy=policy, tab=self.tab, again=again, **self.content(policy, again), **kwargs
        )

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        """Return the context of the tab; `policy` has its state. With `again`, only what changes with each run."""
        raise NotImplementedError
