"""Use case: open a session."""

from dataclasses import dataclass

import msgspec

from pixyproxy.application.authenticate_user import AuthenticateUser
from pixyproxy.domain.ports import Clock, GuidSource, SessionStore, TokenSource
from pixyproxy.domain.session import TOKEN_SIZE, Session, SessionToken, make_session_token


class OpenedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A new session and its token, which is stored nowhere."""

    session: Session
    token: SessionToken

    def __repr__(self) -> str:
        # Keep the token out of logs and tracebacks.
        return f"{type(self).__name__}(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """Log a browser in with name and password, and store the session, which lasts at most `lifetime` seconds.

    Takes and raises what `AuthenticateUser` does. The token is new each time.
    """

    authenticate_user: AuthenticateUser
    sessions: SessionStore
    clock: Clock
    guids: GuidSource
    tokens: TokenSource
    lifetime: float

    async def __call__(self, name: str, password: str, *, address: str | None = None) -> OpenedSession:
        user = await self.authenticate_user.user(name, password, address=address)
        token = make_session_token(self.tokens.new(TOKEN_SIZE))
        session = Session.opened(token, user, guid=self.guids.new(), at=self.clock.now(), lifetime=self.lifetime)
        await self.sessions.add(session)
        return OpenedSession(session=session, token=token)
