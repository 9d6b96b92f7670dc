"""How far texts are from human text: measures with floors and intervals, what gives them away, tables."""
