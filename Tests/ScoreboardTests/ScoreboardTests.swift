// Scoreboard
