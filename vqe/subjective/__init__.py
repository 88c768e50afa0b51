"""Let people judge: a plan of pairs -> a rating page -> votes -> a ranking (P.910 CCR)."""
