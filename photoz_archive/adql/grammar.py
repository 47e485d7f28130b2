"""ADQL text to a syntax tree: a small dialect of sqlglot that knows ADQL's words and no others.

Every function call becomes ``exp.Anonymous``, so that the table in ``functions`` alone gives names a meaning.
What sqlglot reads beyond ADQL is refused in ``allowlist``.
"""

from typing import Any, ClassVar, Final, NoReturn

from sqlglot import Dialect, Parser, Token, Tokenizer, TokenType, exp
from sqlglot.errors import ParseError, TokenError

from photoz_archive.adql.errors import AdqlError

_NO_QUERY: Final = "Expected a query that begins with SELECT or WITH"
MAX_QUERY_CHARACTERS: Final = 200_000

_WORDS: Final = frozenset(
    [
        "ALL",
        "AND",
        "AS",
        "ASC",
        "BETWEEN",
        "CROSS",
        "DESC",
        "DISTINCT",
        "EXCEPT",
        "EXISTS",
        "FALSE",
        "FROM",
        "FULL",
        "HAVING",
        "ILIKE",
        "IN",
        "INNER",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "LEFT",
        "LIKE",
        "LIMIT",
        "NATURAL",
        "NOT",
        "NULL",
        "OFFSET",
        "ON",
        "OR",
        "OUTER",
        "OVER",
        "RIGHT",
        "SELECT",
        "TRUE",
        "UNION",
        "USING",
        "WHERE",
        "WITH",
        "BIGINT",
        "CHAR",
        "DOUBLE",
        "INT",
        "INTEGER",
        "REAL",
        "SMALLINT",
        "TIMESTAMP",
        "VARCHAR",
    ]
) | {"GROUP BY", "ORDER BY", "DOUBLE PRECISION"}
_OPERATORS: Final = frozenset({"||", ">=", "<=", "<>", "!="})


class _AdqlTokenizer(Tokenizer):
    IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ['"', "`"]
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        **{word: kind for word, kind in Tokenizer.KEYWORDS.items() if word in _WORDS | _OPERATORS},
        "TOP": TokenType.TOP,
    }


class _AdqlParser(Parser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CAST": Parser.FUNCTION_PARSERS["CAST"]}
    NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {}
    STATEMENT_PARSERS: ClassVar[dict[TokenType, Any]] = {}
    COLUMN_OPERATORS: ClassVar[dict[TokenType, Any]] = {TokenType.DOT: None}
    QUERY_MODIFIER_PARSERS: ClassVar[dict[TokenType, Any]] = {
        **{
            kind: Parser.QUERY_MODIFIER_PARSERS[kind]
            for kind in (
                TokenType.WHERE,
                TokenType.GROUP_BY,
                TokenType.HAVING,
                TokenType.ORDER_BY,
                TokenType.OFFSET,
            )
        },
        TokenType.LIMIT: lambda parser: parser.refuse_limit(),
    }

    def refuse_limit(self) -> NoReturn:
        """Refuse LIMIT with what ADQL has instead."""
        word = self._curr
        column = word.col - len(word.text) + 1
        raise AdqlError("ADQL has no LIMIT: write SELECT TOP n, or send MAXREC", line=word.line, column=column)


class Adql(Dialect):
    """ADQL 2.1 as far as this service speaks it; TOP and both kinds of quoted identifiers included."""

    Tokenizer = _AdqlTokenizer
    Parser = _AdqlParser


def parse(text: str) -> exp.Query:
    """Read one ADQL query.

    Raises
    ------
    AdqlError
        The text is no single query that sqlglot can read.
    """
    if len(text) > MAX_QUERY_CHARACTERS:
        raise AdqlError(f"The query has {len(text)} characters; expected at most {MAX_QUERY_CHARACTERS}")
    try:
        tokens = Adql().tokenize(text)
        _check_first_word(tokens)
        statements = [statement for statement in Adql().parser().parse(tokens, text) if statement is not None]
    except ParseError as error:
        raise _syntax_error(error) from error
    except TokenError as error:
        raise AdqlError(f"The query cannot be read: {error}; expected closed quotes") from error
    except RecursionError as error:
        raise AdqlError("The query is nested too deeply") from error
    if len(statements) != 1:
        raise AdqlError(f"Expected one SELECT query, got {len(statements)} statements")
    query = statements[0]
    if isinstance(query, exp.Subquery):
        query = query.unnest()
    if not isinstance(query, (exp.Select, exp.SetOperation)):
        raise AdqlError.at(query, _NO_QUERY)
    # sqlglot also reads FROM without SELECT.
    words = sum(token.token_type is TokenType.SELECT for token in tokens)
    if words != sum(1 for _ in query.find_all(exp.Select)):
        raise AdqlError.at(query, "Expected SELECT before each FROM")
    return query


def _check_first_word(tokens: list[Token]) -> None:
    """Refuse statements that are no queries before anything reads them."""
    word = next((token for token in tokens if token.token_type is not TokenType.L_PAREN), None)
    if word is not None and word.token_type not in {TokenType.SELECT, TokenType.WITH}:
        raise AdqlError(_NO_QUERY, line=word.line, column=word.col - len(word.text) + 1)


def _expected(finding: str) -> str:
    """Return what could have stood where sqlglot stopped."""
    if finding.startswith("Expecting"):
        return f"expected {finding.removeprefix('Expecting').strip()}"
    if finding.startswith(("Required", "Expected")):
        return "expected a value or a column before and after it"
    return "expected an operator, a comma, the next clause or the end of the query"


def _syntax_error(error: ParseError) -> AdqlError:
    """Return the first error that sqlglot found as one of ours."""
    first = error.errors[0] if error.errors else {}
    found = first.get("highlight") or "the end of the query"
    line, column = first.get("line"), first.get("col")
    what = _expected(str(first.get("description") or "").rstrip("."))
    start = column - len(found) + 1 if column and first.get("highlight") else column
    return AdqlError(f"Syntax error at {found!r}: {what}", line=line, column=start)
