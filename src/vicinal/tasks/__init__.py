"""One public function for each job: score, select, find duplicates, predict, diagnose, report."""
