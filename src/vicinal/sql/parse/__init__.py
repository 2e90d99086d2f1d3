"""From the text of YQL to statements: tokens, literals, and the two grammars."""
