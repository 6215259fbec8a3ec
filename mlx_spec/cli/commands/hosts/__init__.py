"""`mlx-spec hosts …`: the machines that one model may be split over."""
